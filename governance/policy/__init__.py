"""Policy: what an agent may do. Two engines, embedded Rego and an OPA server, answer the same questions.

Nothing is imported here: the process that tries policies (:mod:`governance.policy.child`) loads as little as it can.
"""
