"""Many connections of one user: crowd.py SOCKET COUNT REQUEST

Each sends a whole request with a very long name in it, but for its end; when something comes on standard input, its end
too. Prints the responses.
"""

import json
import socket
import sys

path, count, request = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
request["order"]["comment"] = "x" * 60_000
line = json.dumps(request).encode()
crowd = []
for _ in range(count):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(line[:-1])
    crowd.append(client)
print("all are in the middle of a line", flush=True)
sys.stdin.readline()
for client in crowd:
    client.sendall(line[-1:] + b"\n")
for client in crowd:
    print(client.makefile().readline(), end="")
