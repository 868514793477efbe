"""An order that is too long for one Command."""

from collector.watch.portions import portions
from fusebox.command import MAX_NAME, Command, Keyring, Order, Signer, allow_list

SIGNER = Signer.generate()
KEYRING = Keyring.load(allow_list(SIGNER))


def resume(*lifts: str) -> Command:
    return Command(Order.RESUME, "all", "o" * 100, "\x01" * 500, 0.0, lifts=lifts)


def test_most_orders_are_one_command() -> None:
    for order in (Command(Order.KILL, "agent:bot", "jo", "now", 0.0), resume("cmd_1", "cmd_2")):
        assert portions(order) == [order]


def test_the_portions_of_a_long_one_lift_the_same_in_its_order_and_each_is_obeyed() -> None:
    for lifts in ([f"cmd_{n:016x}" for n in range(5_000)], [f"tool:{chr(0x1F600) * MAX_NAME} {n}" for n in range(300)]):
        order = resume(*lifts)
        parts = portions(order)
        assert [lift for part in parts for lift in part.lifts] == lifts
        assert len({part.id for part in parts}) == len(parts) > 1
        assert parts[-1].id == order.id
        for part in parts:
            assert KEYRING.verify(SIGNER.sign(part), 0.0) == part
