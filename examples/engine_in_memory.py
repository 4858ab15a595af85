"""The protocol engine without any socket: a client and a server joined in memory, and one exchange between them.

python -m examples.engine_in_memory
"""

from headrace.engine.events import DataReceived, RequestReceived, ResponseReceived
from headrace.testing import JoinedPair


def main() -> str:
    pair = JoinedPair()
    stream_id = pair.client.send_request(b"GET", b"https", b"example.com", b"/", [], end_stream=True)
    pair.exchange()

    for event in pair.take_server_events():
        if isinstance(event, RequestReceived):
            pair.server.send_response(event.stream_id, 200, [(b"content-type", b"text/plain")], b"Hello")
    pair.exchange()

    told = []
    for event in pair.take_client_events():
        if isinstance(event, ResponseReceived):
            told.append(f"stream {stream_id}: status {event.status}")
        elif isinstance(event, DataReceived):
            pair.client.acknowledge_data(event.stream_id, event.flow_length)
            told.append(event.data.decode())
    return ", ".join(told)


if __name__ == "__main__":
    print(main())
