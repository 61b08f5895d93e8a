"""An S3 server on this machine, moto's, that can be told to refuse what comes in."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class Credentials(TypedDict):
    """Variables that DVC's client of S3 reads."""

    AWS_ACCESS_KEY_ID: str
    AWS_SECRET_ACCESS_KEY: str


CREDENTIALS = Credentials(AWS_ACCESS_KEY_ID="moto takes any", AWS_SECRET_ACCESS_KEY="but wants one")


class S3:
    """The server.

    Attributes:
        accepted: How many more objects it takes; None for any number.
    """

    def __init__(self) -> None:
        self.accepted: int | None = None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def _answer(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] == "PUT" and self.accepted is not None:
            if self.accepted <= 0:
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"]
            self.accepted -= 1
        answer: Iterable[bytes] = self._app(environment, start)
        return answer

    def bucket(self, name: str) -> "Bucket":
        self.client.create_bucket(Bucket=name)
        return Bucket(self, name)

    @contextmanager
    def running(self) -> Iterator["S3"]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Bucket:
    """A bucket of the server."""

    def __init__(self, server: S3, name: str) -> None:
        self.server, self.name = server, name
        self.address = f"s3://{name}/digits"

    def objects(self) -> dict[str, int]:
        """Return the sizes of all objects, by key."""
        listed = self.server.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {entry["Key"]: entry["Size"] for entry in listed}

    def key(self, md5: str) -> str:
        """Return the key of DVC's object of a hash."""
        return f"digits/files/md5/{md5[:2]}/{md5[2:]}"

    def change(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """Put a changed object in the place of one."""
        body = self.server.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        self.server.client.put_object(Bucket=self.name, Key=key, Body=change(body))
