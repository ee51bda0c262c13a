"""Clients of the models behind the front door: answers of 16 tokens, half of them streamed.

LLMOPS_LOAD_MODELS: the models, with commas between them; each client asks one.
LLMOPS_LOAD_PACE: seconds from a client's request to its next one, at least.
LLMOPS_LOAD_KEY: the API key.
"""

import itertools
import logging
import os

from locust import HttpUser, constant_pacing, events, task

MODELS = itertools.cycle(os.environ["LLMOPS_LOAD_MODELS"].split(","))
LOG = logging.getLogger(__name__)
PACE = float(os.environ["LLMOPS_LOAD_PACE"])


class Client(HttpUser):
    """Asks one model again and again, without a second try, over a connection that it keeps."""

    wait_time = constant_pacing(PACE)

    def on_start(self) -> None:
        self.model = next(MODELS)
        self.client.headers["Authorization"] = f"Bearer {os.environ['LLMOPS_LOAD_KEY']}"

    @task
    def whole(self) -> None:
        self.ask(False, '"choices"')

    @task
    def streamed(self) -> None:
        self.ask(True, "data: [DONE]")

    def ask(self, stream: bool, wanted: str) -> None:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Count from one to twenty."}],
            "max_tokens": 16,
            "stream": stream,
        }
        path = "/v1/chat/completions"
        with self.client.post(path, json=body, name=self.model, catch_response=True) as response:
            # Status 0 is a connection that was refused or broken; then there is no text.
            if response.status_code != 200:
                reason = response.error or response.text[:200]
                response.failure(f"{response.status_code}: {reason}")
            elif wanted not in response.text:
                response.failure(f"no {wanted}: {response.text[-200:]}")


@events.request.add_listener
def tell(name: str, exception: BaseException | None, **_: object) -> None:
    if exception is not None:
        LOG.warning("lost request to %s: %s", name, exception)
