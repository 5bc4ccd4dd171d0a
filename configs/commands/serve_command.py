"""The command `generalist serve`: an agent that programs ask for actions and texts, and that people watch."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from generalist.configs.commands.task_commands import TaskIds
from generalist.configs.commands.terminal import print_notice
from generalist.envs.names import nearest

if TYPE_CHECKING:
    from generalist.play.agent import Agent

TOKEN = "GENERALIST_TOKEN"
MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Let programs ask an agent for actions and texts, many clients at a time, and people watch it in a browser.

    A client connects to ws://HOST:PORT/?task=ID, is told what is served, sends observations and gets actions; whoever
    waits is acted for in one step; `openpi-client` is such a client. An agent that writes does so at /v1, as OpenAI's
    API has it. / is a page on which it is watched; /health and /metrics (Prometheus) are beside it. SIGTERM or Ctrl-C
    lets those who have asked be answered. docs/serving.md has the messages. Needs the extra `serve`.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run directory, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]."""
    task: TaskIds = ()
    """Serve these tasks; give it again for more. Default: all that it was trained on."""
    host: str = "127.0.0.1"
    """Address to listen at. Any but this machine's own needs a token."""
    port: int = 8000
    """Port; 0 takes one that is free."""
    name: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Another name by which clients speak to the server, as behind a proxy; give it again for more."""
    token_file: Path | None = None
    """File of the token that clients must send (Authorization: Bearer TOKEN); or the variable GENERALIST_TOKEN."""
    step: int | Literal["best"] | None = None
    """Serve the checkpoint of this update, or the best; default: the newest."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Compute in this and keep the parameters in it; default: as trained. bfloat16 is for accelerators."""
    slots: int = 16
    """Clients of a task that one compiled step acts for; more sit at further ones."""
    clients: int = 256
    """Most clients at a time."""
    message_mb: float = 16.0
    """Largest message in MiB."""
    idle: float = 600.0
    """Seconds without a request after which a client is let go."""
    grace: float = 10.0
    """Seconds that clients are waited for when the server is told to end."""
    playground: bool = True
    """Show at / a page on which the agent is watched in the tasks' own environments, beside their experts."""

    def __call__(self) -> None:
        print_notice(f"serving {self.run}: loading")
        from generalist.envs.task import needs_extra

        with needs_extra("serve"):
            import generalist.play.server.running as running
            from generalist.configs.commands.served import models_of, stage_of
            from generalist.play.server.app import make_app
            from generalist.play.server.engine import Engine
            from generalist.play.server.metrics import Metrics
        self._check()
        token, hosts = self._token(), self._hosts()
        agent = self._agent()
        agent_of, tasks, about = self._policies(agent)
        models = models_of(agent)
        listener = running.listening(self.host, self.port)
        metrics = Metrics()
        engine = Engine(agent_of, tasks, slots=self.slots, most=self.clients, on_step=metrics.step)
        most = int(self.message_mb * MEGABYTE)
        limits = {"idle": self.idle, "body": most}
        stage = partial(stage_of, agent, tasks, self.idle) if self.playground else None
        app = make_app(engine, metrics, about, models=models, stage=stage, token=token, hosts=hosts, **limits)

        def ready(host: str, port: int) -> None:
            where = f"[{host}]" if ":" in host else host
            what = tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks"
            texts = f", texts at http://{where}:{port}/v1" if models else ""
            watch = f", to be watched at http://{where}:{port}/" if self.playground else ""
            print_notice(f"serving {what} at ws://{where}:{port}/{texts}{watch}; Ctrl-C ends")

        server = running.server_of(
            app,
            busy=lambda: engine.clients + app.state.texts.waiting + app.state.viewers() > 0,
            most=self.clients,
            message=most,
            grace=self.grace,
            ready=ready,
        )
        server.run(sockets=[listener])
        engine.close()
        app.state.close()
        print_notice("ended")

    def _check(self) -> None:
        for name in ("slots", "clients", "message_mb", "idle", "grace"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name.replace('_', '-')} must be above 0, got {getattr(self, name)}")

    def _token(self) -> str | None:
        """The token that is asked for. Raises ValueError where one is needed and there is none."""
        given = self.token_file.read_text() if self.token_file else os.environ.get(TOKEN, "")
        if token := given.strip():
            return token
        if self.token_file:
            raise ValueError(f"{self.token_file} is empty: write a token into it")
        if not _is_local(self.host):
            raise ValueError(
                f"whoever reaches {self.host} could use this agent: give a token, by --token-file FILE or {TOKEN}, or "
                "listen at 127.0.0.1"
            )
        return None

    def _hosts(self) -> tuple[str, ...]:
        """Names by which it may be spoken to; with a token and no names, any."""
        from generalist.play.server.guard import LOCAL

        if not _is_local(self.host) and not self.name:
            return ()
        return (*LOCAL, self.host, *self.name)

    def _agent(self) -> "Agent":
        from generalist.agent.compilation import keep_compilations
        from generalist.play.agent import Agent

        keep_compilations()
        return Agent.load(self.run, step=self.step, dtype=self.dtype)

    def _policies(self, agent: "Agent") -> "tuple[Callable[[str], Agent], tuple[str, ...], dict[str, object]]":
        """The agent as it plays a task, the tasks that are served, and what clients are told."""
        from generalist.envs.table import family_of
        from generalist.eval.config import evaluation_of
        from generalist.eval.evaluate import decode_of_named

        settings = evaluation_of(agent.run.directory)
        tasks = tuple(dict.fromkeys(self.task or agent.tasks))
        if unknown := [task for task in tasks if task not in agent.tasks]:
            raise ValueError(f"this agent was not trained on {unknown[0]!r}: {nearest(unknown[0], agent.tasks)}")
        about = {"server": f"generalist {version('generalist')}", "agent": agent.run.name, "update": agent.step}

        def playing(task: str) -> "Agent":
            return agent.with_decode(decode_of_named(settings, task, family_of(task)))

        return playing, tasks, {**about, "tasks": list(tasks)}


def _is_local(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
