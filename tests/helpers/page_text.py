"""Read a page of a running dashboard over its protocol."""

import re
from collections.abc import Sequence

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol


def read_page(port: int, headers: Sequence[tuple[str, str]] = (), token: str = "", *, page: str = "") -> str:
    """Return all text of a page, by default the first, without a browser; `token` is the one that its script sends."""
    texts: list[str] = []
    protocols = [Subprotocol(name) for name in ("streamlit", token) if name]
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    with connect(address, additional_headers=headers, subprotocols=protocols, max_size=None, proxy=None) as socket:
        rerun = BackMsg()
        rerun.rerun_script.page_name = page
        socket.send(rerun.SerializeToString())
        while True:
            message = ForwardMsg.FromString(socket.recv(timeout=60, decode=False))
            if message.WhichOneof("type") == "script_finished":
                return re.sub(r"[\\\u2060]", "", "\n".join(texts))
            element = message.delta.new_element
            texts += [element.alert.body, element.markdown.body, element.text.body, element.button.label]
