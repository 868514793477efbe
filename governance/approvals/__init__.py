"""Approvals: an action on which a guard ruled ``hold`` waits for a person.

``request`` says what is asked and binds it by a digest; ``approval`` what may become of it; ``register`` keeps it in
the state store; ``client`` is the part of an agent's process, or a gateway, that asks. *watch* owns the register: it
authenticates who asks and who answers, and journals both before they have an effect.
"""
