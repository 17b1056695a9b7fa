"""Sign Leverj exchange orders for clients on a Unix socket.

The road of a request, one module a step:

    framing     bytes from a socket      -> lines
    protocol    a line                   -> a request; a result or a refusal -> a line
    orders      a request                -> the order's packed fields -> a 32-byte digest
    policy      a client and its request -> the rule that allows it, if the daemon holds the key
    keyring     an address               -> a held key
    keys        a digest                 -> a signature
    service     the road as a whole: a line -> a response

What policy judges by: policy_reader (a file -> rules), order_limits (what a rule says about orders).

Around it, many clients at once on a Unix stream socket:

    server      accepts connections, counts them, ends them; begins with the theory of operation
    connection  one client: bytes in, responses out
    work        who works when
"""

__version__ = "1.2.0"
