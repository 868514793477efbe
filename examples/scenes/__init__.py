"""Scenes on the whole supply chain: each plays one thing that goes well or wrong, and says what held.

``fusebox demo --scene NAME`` plays one, the tests play all of them on one running system.
"""
