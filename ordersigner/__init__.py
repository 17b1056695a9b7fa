"""Sign exchange orders and typed data for clients on a Unix socket.

Each part of the package imports only the parts that its line names, and the modules of the last line. An order goes
through serving, signing, payloads, policy if it names a held key, and back through signing; the other parts may stay
closed. docs/develop/how.rst follows one.

    part      imports                           what it does
    daemon    serving signing policy payloads state systemd  ordersignerd: arguments, wiring, reload, stop, --check
    serving   signing                           many clients at once: bytes to lines, responses to bytes
    signing   policy payloads state systemd     a line to its response: JSON, keys, journal, counters
    policy    payloads                          who may sign what with a key that the daemon holds
    state     -                                 what lasts longer than a request: totals, rates, freezes
    payloads  -                                 what can be signed: JSON to a digest, and the facts that a rule judges
    systemd   -                                 what systemd hands over and what it is told; journald

    client    -                                 the client, the one file that programs copy
    aio       client                            the client for asyncio
    account   client payloads                   a held key in place of an eth-account account
    sdks      account client                    the address of a held key where SDKs take a private key
    commands  client                            ordersigner, the command
    keytool   commands                          ordersigner-keys, the administrator's key tool

    shared    -                                 what any part may use: refusal text keccak peer process extras

What only some parts may use. So payloads is pure, and so is policy, but for the readers of its file and of accounts:

    socket socketserver     serving systemd daemon commands client peer
    select                  serving systemd commands client
    threading time          daemon serving signing state systemd commands client sdks
    os                      policy/accounts daemon serving signing state systemd commands keytool client peer sdks
    open                    policy/accounts policy/reader daemon signing/keyring systemd/losses commands keytool peer
    grp pwd                 commands peer
    subprocess              commands keytool sdks/__main__
    systemd                 systemd
    coincurve               signing
    msgpack                 payloads
    eth_account             keytool

tests/test_architecture.py reads this map and holds the code to it.
"""

__version__ = "1.2.0"
