"""One of two agents of uagents, each with an HTTP endpoint of its own: `answer` or `ask`.

`ask` makes rounds of questions when it is told to (`POST /round`): every question and every reply is
a signed envelope, verified by the library. Nobody pays. Endpoints are given as rules, and nothing is
registered with the hosted almanac, so that no call waits for it.
"""

import argparse
import asyncio
import json
import logging
import time
from importlib.metadata import version

# It logs to standard output, that its hosted ledger is not reached: it is not needed.
logging.disable(logging.CRITICAL)

from uagents import Agent, Context, Model
from uagents.crypto import Identity
from uagents.registration import AgentRegistrationPolicy
from uagents.resolver import RulesBasedResolver

SEEDS = {"ask": "the agent that asks", "answer": "the agent that answers"}
QUESTION = "What does a receipt say? Answer in one sentence."
ANSWER = "A receipt says what was paid, for what, and when."


class Question(Model):
    number: int
    text: str


class Answer(Model):
    number: int
    text: str


class Round(Model):
    trips: int
    at_once: int


class Done(Model):
    wall_s: float
    trips: int


class Unregistered(AgentRegistrationPolicy):
    async def register(self, *_arguments, **_more):
        pass


class Local(Agent):
    async def _update_agent_status(self, active):
        pass


def address(role):
    return Identity.from_seed(SEEDS[role], 0).address


def agent(arguments):
    endpoints = {
        address("ask"): f"http://127.0.0.1:{arguments.ask_port}/submit",
        address("answer"): f"http://127.0.0.1:{arguments.answer_port}/submit",
    }
    return Local(
        name=arguments.role,
        seed=SEEDS[arguments.role],
        port=arguments.ask_port if arguments.role == "ask" else arguments.answer_port,
        endpoint=endpoints[address(arguments.role)],
        resolve=RulesBasedResolver(endpoints),
        registration_policy=Unregistered(),
        # Less work a message, which is to its advantage.
        enable_agent_inspector=False,
        publish_agent_details=False,
        report_events=False,
        mark_inactive_on_shutdown=False,
    )


def answering(local):
    @local.on_message(model=Question, replies=Answer)
    async def answer(context: Context, sender: str, question: Question):
        await context.send(sender, Answer(number=question.number, text=ANSWER))


def asking(local):
    async def trips(numbers):
        # A context has one session, and a session one open question.
        context = local._build_context()
        for number in numbers:
            question = Question(number=number, text=QUESTION)
            reply, status = await context.send_and_receive(address("answer"), question, Answer)
            if reply != Answer(number=number, text=ANSWER):
                raise RuntimeError(f"question {number} got {reply}: {status}")

    @local.on_rest_post("/round", Round, Done)
    async def round_(_context: Context, asked: Round) -> Done:
        start = time.perf_counter()
        shares = (range(at, asked.trips, asked.at_once) for at in range(asked.at_once))
        await asyncio.gather(*(trips(share) for share in shares))
        return Done(wall_s=time.perf_counter() - start, trips=asked.trips)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=SEEDS)
    parser.add_argument("--ask-port", type=int, required=True)
    parser.add_argument("--answer-port", type=int, required=True)
    arguments = parser.parse_args()
    local = agent(arguments)
    (asking if arguments.role == "ask" else answering)(local)

    @local.on_event("startup")
    async def ready(_context: Context):
        print(json.dumps({"name": f"uagents {version('uagents')}"}), flush=True)

    local.run()


if __name__ == "__main__":
    main()
