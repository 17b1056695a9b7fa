"""Many connections of one user: crowd.py SOCKET COUNT REQUEST

Each connection sends a very long request without its last byte. After a line on standard input it sends the last byte.
Prints the responses.
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
