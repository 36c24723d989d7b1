"""The SDK: sign, send, verify, blocking or in an event loop, over a transport that is given to it."""

from xinglin.client.client import AsyncClient, Client, Sent
from xinglin.client.patient import History, Patient
from xinglin.client.transport import AsyncTransport, Transport
from xinglin.client.verify import Completeness, Verdict, verify_file
from xinglin.client.wallet import Wallet

__all__ = ["AsyncClient", "AsyncTransport", "Client", "Completeness", "History", "Patient", "Sent", "Transport",
           "Verdict", "Wallet", "verify_file"]
