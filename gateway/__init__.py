"""The gateway: every model call and internal call goes through one governed door.

Three guards stand behind the door and work without it: :mod:`gateway.limits` (rates and quotas),
:mod:`gateway.masking` (personal data and secrets) and :mod:`gateway.filter` (SQL, exfiltration, canaries, injection).
"""
