"""A task that may fail: the run goes on, and what depends on it receives a Missing."""

import durable_wf as wf


def weather() -> str:
    raise ConnectionError("the service does not answer")


def forecast(weather: str | wf.Missing) -> str:
    if isinstance(weather, wf.Missing):
        return f"no forecast: {weather.task} failed ({weather.message})"
    return f"it will be {weather}"


workflow = (
    wf.WorkflowBuilder("forecast")
    .add_task("weather", weather, optional=True)
    .add_task("forecast", forecast)
    .depends_on("weather")
    .build()
)

result = wf.WorkflowEngine().run(workflow)
print(result.status.value)
print(result["forecast"])
print(result.failures()["weather"].kind.value)

# -> succeeded
# -> no forecast: weather failed (the service does not answer)
# -> error
