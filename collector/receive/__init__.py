"""*receive*: takes telemetry from agents, says who really sent it, and makes it durable before it answers.

::

    HTTP ─┐
          ├─► intake: inflate ─► seen before? ─► decode ─► stamp, price ─► spool.append (fdatasync) ─► answer
    gRPC ─┘

Both doors share the intake, so a span or a log record is stored the same whichever way and in whichever encoding it
came. A record is the stamped request (:mod:`collector.otlp` has the format) followed by one more field, number 1002,
with the hash of the request as it was sent: readers skip it, and after a restart it tells a repeated request from a
new one.
"""
