"""The output filter: SQL beyond the agent's grants, ways out by shell and URL, canaries, signals of injection.

::

    output = OutputFilter(FilterSettings(hosts=(".example.com",)), registry)          # once
    canary = Canaries(key).plant(agent, workflow, tenant)                             # into the context, if wanted

    ruling = output.arguments(agent, tool, json_arguments, (canary,))                 # before a tool runs
    ruling = output.answer(agent, text, (canary,))                                    # a whole answer
    stream = StreamFilter(output, agent, (canary,))                                   # stream.feed(text) … stream.end()
    ruling = output.content(text, agent)                                              # what came from outside

    ruling.verdict        # allow, hold or deny, by the guard "filter"
    ruling.threats        # each with its rule and a sentence; ruling.counts for spans; ruling.score of content

SQL grants are part of the registry (:class:`fusebox.registry.SqlGrant`).
"""

from gateway.filter.canaries import Canaries
from gateway.filter.output import OutputFilter
from gateway.filter.settings import FilterSettings
from gateway.filter.sql import judge
from gateway.filter.stream import StreamFilter
from gateway.filter.threats import GUARD, Ruling, Threat, Weight

__all__ = [
    "GUARD",
    "Canaries",
    "FilterSettings",
    "OutputFilter",
    "Ruling",
    "StreamFilter",
    "Threat",
    "Weight",
    "judge",
]
