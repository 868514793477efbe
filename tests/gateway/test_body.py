"""Bodies: JSON that not every reader reads alike is refused, however much of it there is."""

import pytest

from gateway.body import json_of
from gateway.denied import Denied


@pytest.mark.timeout(30)
def test_a_field_that_is_named_twice_is_found_among_very_many() -> None:
    fields = ",".join(f'"f{n}":1' for n in range(150_000))
    with pytest.raises(Denied, match="names the field 'last' twice"):
        json_of(f'{{{fields},"last":1,"last":2}}'.encode())
