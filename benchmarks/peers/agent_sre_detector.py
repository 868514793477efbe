"""agent-sre's rogue-agent detector over events from standard input; runs in the peer's environment.

Each line is ``[agent, action, tool, time]``; the numbers of the events at which it recommends quarantine come out.
It keeps every assessment; the list is emptied, so that its memory is not what is measured.
"""

import json
import logging
import sys

from agent_sre.anomaly.rogue_detector import RogueAgentDetector

logging.disable(logging.CRITICAL)


def main():
    detector, stopped = RogueAgentDetector(), set()
    for number, line in enumerate(sys.stdin):
        agent, action, tool, time = json.loads(line)
        if agent in stopped:
            continue
        detector.record_action(agent, action, tool, timestamp=time)
        if detector.assess(agent, timestamp=time).quarantine_recommended:
            stopped.add(agent)
            print(number)
        detector._assessments.clear()


main()
