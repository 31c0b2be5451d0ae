#!/usr/bin/env python3
"""The Python implementation in DULL mode, from the checkout named by GRASPY_DIR, on a host of the laboratory.

It announces AN_ACP as its own demo ACPcontainer-AN_ACPonly.py does, answers discoveries of it, and says what it hears:
lines `heard INITIATOR-OR-LOCATOR PROTOCOL PORT VALUE` and `found LOCATOR`. See runner.py for ASA_INTEROP_OUTSIDE.
"""

import io
import os
import sys
import threading
import time
import types

outside = os.environ.get("ASA_INTEROP_OUTSIDE")
if not outside or os.readlink("/proc/self/ns/net") == outside:
    sys.exit("dull.py: not in a network namespace of the laboratory")

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ["GRASPY_DIR"])
sys.stdin = io.StringIO("")
sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
keys = types.ModuleType("quadsk")
keys.key = keys.iv = "No key"
sys.modules["quadsk"] = keys

pause = time.sleep
threading.Thread(target=lambda: (pause(120), os._exit(0)), daemon=True).start()
time.sleep = lambda seconds: None
import grasp  # noqa: E402

time.sleep = pause
grasp.skip_dialogue(testing=False, selfing=False, diagnosing=True, be_dull=True)

error, handle = grasp.register_asa("ACPcontainer")
assert not error, grasp.etext[error]
objective = grasp.objective("AN_ACP")
objective.synch = True
objective.value = "IKEv2"
error = grasp.register_obj(handle, objective, discoverable=True)
assert not error, grasp.etext[error]
proxy = grasp.objective("AN_Proxy")
proxy.synch = True

locator = grasp.asa_locator(grasp._unspec_address, 0, False)
locator.is_ipaddress = True
locator.protocol = 17
locator.port = 500
said = set()
for turn in range(100):
    grasp.flood(handle, 120000, [grasp.tagged_objective(objective, locator)])
    error, copies = grasp.get_flood(handle, objective)
    for copy in copies or []:
        line = f"heard {copy.source.locator} {copy.source.protocol} {copy.source.port} {copy.objective.value}"
        if line not in said:
            said.add(line)
            print(line)
    error, found = grasp.discover(handle, proxy, 500, flush=True)
    for one in found or []:
        print(f"found {one.locator}")
    pause(1)
