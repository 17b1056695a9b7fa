"""Many connections of one user: crowd.py SOCKET COUNT REQUEST [between-lines]

Each connection sends a very long request without its last byte, or with between-lines a request to which it reads the
response. After a line on standard input it sends the last byte, or another request. Prints the responses to that.
"""

import json
import socket
import sys

path, count, request = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
in_mid_line = sys.argv[4:] != ["between-lines"]
request["order"]["comment"] = "x" * 60_000
line = json.dumps(request).encode() + b"\n"
crowd = []
for _ in range(count):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(line[:-2] if in_mid_line else line)
    if not in_mid_line:
        client.recv(10_000)
    crowd.append(client)
print("all are in the middle of a line" if in_mid_line else "all are between two lines", flush=True)
sys.stdin.readline()
for client in crowd:
    client.sendall(line[-2:] if in_mid_line else line)
for client in crowd:
    print(client.makefile().readline(), end="")
