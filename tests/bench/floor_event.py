"""The floor of an event: a bare pyroute2 script that asks for the link that changed, once, and does no more."""

from pyroute2 import IPRoute

if __name__ == "__main__":
    with IPRoute() as events, IPRoute() as asks:
        events.bind()
        print("ready", flush=True)
        while True:
            for message in events.get():
                asks.get_links(message["index"])
