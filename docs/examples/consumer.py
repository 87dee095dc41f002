"""Reads and scales a deployment through kube-resource-api, with the standard library alone.

consumer.py poll [SECONDS]   prints the count whenever a poll finds another one
consumer.py wait             prints each count, as soon as it changes
consumer.py stream           prints all counts of the namespace after each change
consumer.py add N            adds N replicas
"""

import http.client
import json
import os
import random
import ssl
import sys
import time
from urllib.parse import urlsplit

SERVICE = urlsplit(os.environ.get("SERVICE_URL", "https://localhost:8443"))
CERTS = os.environ.get("CERTS", ".dev/pki")
COUNTS = "/namespaces/personal/deployments/ANY/replica_count"
COUNT = "/namespaces/personal/deployments/nginx/replica_count"

# The service sends at least a comment every 15 seconds.
SILENCE = 45


class Problem(Exception):
    """A response that is no success: its status, and its body (application/problem+json)."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')}")
        self.status = status
        self.body = body


def connect(timeout):
    # A renewed certificate is read by the next connection.
    tls = ssl.create_default_context(cafile=f"{CERTS}/ca.crt")
    tls.load_cert_chain(f"{CERTS}/admin.crt", f"{CERTS}/admin.key")
    return http.client.HTTPSConnection(SERVICE.hostname, SERVICE.port, timeout=timeout, context=tls)


def problem(response):
    try:
        body = json.loads(response.read())
    except ValueError:
        body = {}
    return Problem(response.status, body)


def is_transient(status):
    """Of other errors the caller, its certificate or its permissions are the cause: no retry mends them."""
    return status in (408, 429) or status >= 500


def backoff(attempt, retry_after=None, first=0.5):
    """Pauses exponentially, with jitter, and at least as long as the service asks for."""
    pause = min(30, first * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)
    time.sleep(max(pause, float(retry_after or 0)))


class Client:
    """One connection, kept alive, that is opened again when it was lost."""

    def __init__(self):
        self.connection = None

    def send(self, method, path, headers, timeout):
        if self.connection is None:
            self.connection = connect(timeout)
        try:
            self.connection.timeout = timeout
            if self.connection.sock is not None:
                self.connection.sock.settimeout(timeout)
            self.connection.request(method, path, headers=headers)
            response = self.connection.getresponse()
            body = json.loads(response.read() or "{}")
            return response.status, response.headers, body
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def read(self, path, headers, wait=0):
        """A read changes nothing, so that it is tried until the service answers."""
        attempt = 0
        while True:
            retry_after = None
            try:
                status, fields, body = self.send("GET", path, headers, wait + 10)
                if status in (200, 304):
                    return status, fields, body
                if not is_transient(status):
                    raise Problem(status, body)
                retry_after = fields["Retry-After"]
            except (OSError, http.client.HTTPException, ValueError) as error:
                print(f"retry: {error!r}", file=sys.stderr)
            backoff(attempt, retry_after)
            attempt += 1


def poll(interval):
    """Yields the count at first, and whenever a poll finds another one."""
    client, etag = Client(), None
    while True:
        status, fields, body = client.read(COUNT, {"If-None-Match": etag} if etag else {})
        if status == 200:
            etag = fields["ETag"]
            yield body["replica_count"]
        time.sleep(interval)


def wait(seconds=30):
    """Yields the count at first, and each time it has changed."""
    client, etag = Client(), None
    while True:
        headers = {"If-None-Match": etag, "Prefer": f"wait={seconds}"} if etag else {}
        asked = time.monotonic()
        status, fields, body = client.read(COUNT, headers, seconds)
        if status == 200:
            etag = fields["ETag"]
            yield body["replica_count"]
        elif time.monotonic() - asked < seconds / 2:
            # The instance shuts down, and answers at once.
            client.close()
            backoff(1)


def events(response):
    """Yields name, id, data and version of each event; also `retry` with milliseconds, and comments without a name."""
    event, version = {}, None
    for line in response:
        text = line.decode().rstrip("\r\n")
        if text == "":
            if "data" in event:
                yield event.get("event"), event.get("id"), event["data"], version
            event, version = {}, None
        elif text.startswith(":"):
            if text.startswith(": version "):
                version = text.removeprefix(": version ")
            yield None, None, None, None
        else:
            name, _, value = text.partition(":")
            event[name] = value.removeprefix(" ")
            if name == "retry":
                yield name, None, event[name], None


def stream():
    """Yields all counts of the namespace, at first and after each change, over as many connections as it takes."""
    counts, seen, attempt, retry_after = {}, {}, 0, 0
    while True:
        connection = connect(SILENCE)
        try:
            connection.request("GET", COUNTS, headers={"Accept": "text/event-stream", **seen})
            response = connection.getresponse()
            if is_transient(response.status):
                retry_after = response.headers["Retry-After"]
            elif response.status != 200:
                raise problem(response)
            else:
                for event, etag, data, version in events(response):
                    if event == "end":
                        print(f"stream ended: {data}", file=sys.stderr)
                        break
                    if event == "retry":
                        retry_after = int(data) / 1000
                        continue
                    attempt = 0
                    if event == "snapshot":
                        counts = {of["deployment"]: of["replica_count"] for of in json.loads(data)["deployments"]}
                    elif event == "change":
                        for item in json.loads(data):
                            if item.get("deleted"):
                                counts.pop(item["deployment"], None)
                            else:
                                counts[item["deployment"]] = item["replica_count"]
                    else:
                        continue
                    seen = {"Last-Event-ID": etag, **({"Last-Event-Version": version} if version else {})}
                    yield dict(counts)
        except (OSError, http.client.HTTPException) as error:
            print(f"reconnect: {error!r}", file=sys.stderr)
        finally:
            connection.close()
        backoff(attempt, retry_after)
        attempt += 1


def add(more):
    """Adds to the count. A write of others in between is neither lost nor overwritten."""
    client = Client()
    current = client.read(COUNT, {})[2]["replica_count"]
    attempt = 0
    while True:
        wanted = current + more
        status, fields, body = client.send("PUT", f"{COUNT}/{wanted}", {"If-Match": f'"{current}"'}, 20)
        if status == 200 and fields["X-Already-Set"] is None:
            return wanted
        if status == 200:
            # Another has set the same count. This one has added nothing yet.
            current = wanted
        elif status == 412:
            current = body["current"]
        elif status != 429:
            # After 408, 500 and 503 the write may have been carried out. The caller reads the count and decides.
            raise Problem(status, body)
        if attempt == 9:
            raise Problem(status, body)
        backoff(attempt, fields["Retry-After"], first=0.05)
        attempt += 1


def main():
    command, *words = sys.argv[1:] or ["help"]
    if command == "poll":
        for count in poll(float(words[0]) if words else 5):
            print(f"nginx has {count} replicas", flush=True)
    elif command == "wait":
        for count in wait():
            print(f"nginx has {count} replicas", flush=True)
    elif command == "stream":
        for counts in stream():
            print(json.dumps(counts, sort_keys=True, separators=(",", ":")), flush=True)
    elif command == "add":
        print(f"nginx has {add(int(words[0]))} replicas")
    else:
        sys.exit(__doc__)


main()
