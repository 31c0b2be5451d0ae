#!/usr/bin/env python3
"""Starts a program of the Python implementation, from the checkout named by GRASPY_DIR, on a host of the laboratory.

  runner.py [--sleep-scale F] [--seconds S] [--answers A;B;...] Gray|Briggs|pfxm3|pfxm4|relay

Nothing of the checkout is changed. The start-up dialogue is skipped, pauses on import are left out, and with
--sleep-scale the program's own pauses, not those of its protocol engine, become shorter. What the program itself asks at
its start gets the answers. The environment variable
ASA_INTEROP_OUTSIDE names the network namespace of the machine; there, or without it, nothing is started. ASA_INTEROP_KEYS
names a directory with the key file quadsk.py of a group; without it nothing is encrypted.
"""

import argparse
import io
import os
import runpy
import sys
import threading
import time
import types

arguments = argparse.ArgumentParser()
arguments.add_argument("--sleep-scale", type=float, default=1.0)
arguments.add_argument("--seconds", type=float, default=300.0)
arguments.add_argument("--answers", default="")
arguments.add_argument("program")
arguments = arguments.parse_args()

outside = os.environ.get("ASA_INTEROP_OUTSIDE")
if not outside or os.readlink("/proc/self/ns/net") == outside:
    sys.exit("runner.py: not in a network namespace of the laboratory")
checkout = os.environ["GRASPY_DIR"]

sys.dont_write_bytecode = True
sys.path.insert(0, checkout)
sys.stdin = io.StringIO("".join(answer + "\n" for answer in arguments.answers.split(";")))
sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)

directory = os.environ.get("ASA_INTEROP_KEYS")
if directory:
    # The key file of a group is a module that the implementation imports.
    sys.path.insert(0, directory)
else:
    # No encryption, as when the question for a key is left unanswered.
    keys = types.ModuleType("quadsk")
    keys.key = keys.iv = "No key"
    sys.modules["quadsk"] = keys

pause = time.sleep
threading.Thread(target=lambda: (pause(arguments.seconds), os._exit(0)), daemon=True).start()
time.sleep = lambda seconds: None
import grasp  # noqa: E402

time.sleep = pause
grasp.skip_dialogue(testing=False, selfing=False, diagnosing=True, be_dull=False)
grasp.skip_dialogue = lambda *_, **__: None
if directory and not os.path.exists(os.path.join(directory, "quadsk.py")):
    sys.exit("runner.py: no quadsk.py in " + directory)

if arguments.program == "relay":
    grasp._initialise_grasp()
    print("relay ready")
    while True:
        pause(60)

program = os.path.join(checkout, "ASA-examples", arguments.program + ".py")


def scaled(seconds):
    own = sys._getframe(1).f_code.co_filename == program
    pause(seconds * arguments.sleep_scale if own else seconds)


time.sleep = scaled
runpy.run_path(program, run_name="__main__")
