"""Starts LocalStack on the loopback interface only; runs inside the emulator's own environment, not the product's.

LocalStack listens on every interface whatever GATEWAY_LISTEN says; an emulator that asks nobody for a password must
not. Its one argument, the emulator's data folder, is there to be seen in the process list.
"""

import functools
import runpy

from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
runpy.run_module("localstack.runtime.main", run_name="__main__")
