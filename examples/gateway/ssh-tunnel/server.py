"""A service that takes its time.

It answers a request at once, with nothing but the task's id, and delivers the result a second later by a request of
its own: a callback to the address that it was given.
"""

import asyncio

import httpx
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

# How long the work takes, in seconds.
WORK = 1
# A callback that is not taken is sent again after so many seconds, so many times in all.
PAUSE = 1
TRIES = 5

app = FastAPI()


class Task(BaseModel):
    """What is to be done, and whom to tell."""

    data: str = ""
    callback_url: str | None = None
    task_id: str = "unknown"


@app.post("/process")
async def process(task: Task, background: BackgroundTasks) -> dict[str, str]:
    """Takes a task on."""
    if task.callback_url:
        background.add_task(finish, task)
    return {"task_id": task.task_id}


async def finish(task: Task) -> None:
    """Does the work and tells the result."""
    await asyncio.sleep(WORK)
    result = {"processed_data": task.data.upper(), "length": len(task.data)}
    await call_back(task.callback_url, {"task_id": task.task_id, "result": result})


async def call_back(url: str, body: dict) -> None:
    """Sends a callback until it is taken."""
    async with httpx.AsyncClient() as client:
        for _ in range(TRIES):
            try:
                response = await client.post(url, json=body)
                response.raise_for_status()
                return
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                print(f"Error: {error}", flush=True)
            await asyncio.sleep(PAUSE)
