"""Sign exchange orders and typed data for clients on a Unix socket.

The road of a request, one module a step:

    framing     bytes from a socket      -> lines
    protocol    a line                   -> a request; a result or a refusal -> a line
    orders      an order                 -> its packed fields -> a 32-byte digest
    typed_data  typed data, EIP-712      -> a 32-byte digest; typed_values has its integers, addresses and texts
    messages    a message, EIP-191       -> a 32-byte digest
    hyperliquid an action of Hyperliquid -> a 32-byte digest
    policy      a client and its request -> the rule that allows it, if the daemon holds the key
    keyring     an address               -> a held key
    keys        a digest                 -> a signature
    service     the road as a whole: a line -> a response

What policy judges by: policy_reader (a file -> rules), and what a rule says about each kind of request: order_limits,
typed_limits, message_limits, hyperliquid_limits.

Around it, many clients at once on a Unix stream socket:

    server      accepts connections, counts them, ends them; begins with the theory of operation
    connection  one client: bytes in, responses out
    work        who works when
    handover    connections to the next process at a restart, and from the one before
"""

__version__ = "1.2.0"
