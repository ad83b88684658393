"""Runs API processes that no visitor reaches, for their schedulers: each process runs one.

The application is imported once, before the processes part, so that they share its memory. When one process ends,
all end, and Swarm starts them again: the locks of the schedulers are free then.
"""
import gc
import os
import signal
import sys

import uvicorn
from app.main import app

FIRST_PORT = 8001

gc.collect()
gc.freeze()  # the collector would write to the shared pages
processes = set()
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        uvicorn.run(app, host="127.0.0.1", port=FIRST_PORT + number)
        os._exit(0)
    processes.add(pid)

told = False


def stop(*_):
    """Tells every process to end by itself."""
    global told
    told = True
    for pid in processes:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
failed = False
while processes:
    pid, status = os.wait()
    processes.discard(pid)
    if not told:
        print(f"scheduler process {pid} ended with status {status}: all start again", file=sys.stderr, flush=True)
        failed = True
        stop()
sys.exit(1 if failed else 0)
