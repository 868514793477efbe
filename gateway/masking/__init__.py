"""Masking of personal data and secrets, in what goes to models and tools and in what comes back.

::

    from gateway.masking.masker import Masker
    masker = Masker(MaskingSettings(names={"PERSON": ("Ada Lovelace",)}), key)     # once; loads in about two seconds

    session = masker.session("/v1/chat/completions", workflow=run, tenant=tenant, agent=agent)     # one for each call
    masked = session.mask(body)          # a str or JSON value: messages, tool arguments, tool results
    if not masked.verdict.allowed:       # blocked by the route's policy, or masking failed
        ...
    forward(masked.value)

    answer = session.restore(answer)     # whole answers, where the policy says restore = true
    stream = StreamMasker(session)       # streamed answers: stream.feed(text) … stream.end(), stream.verdict
    restorer = session.restorer()        # and behind it, where the policy says so: restorer.feed(text)
    session.counts                       # {"EMAIL": 2}: types and counts for span and audit, never values

Policies by route are rules of :mod:`gateway.masking.settings`. What does the work is imported from its own modules, by
whoever masks: recognisers take seconds to load and a hundred megabytes, which a gateway without masking does not pay.
"""

from gateway.masking.settings import (
    GUARD,
    KEY_BYTES,
    PERSON,
    STRUCTURED,
    MaskingSettings,
    RoutePolicy,
    Treatment,
)

__all__ = [
    "GUARD",
    "KEY_BYTES",
    "PERSON",
    "STRUCTURED",
    "MaskingSettings",
    "RoutePolicy",
    "Treatment",
]
