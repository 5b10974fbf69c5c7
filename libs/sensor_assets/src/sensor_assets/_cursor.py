"""The sensor's cursor: what Dagster has durably taken, and nothing else."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

# A cursor is written about five times a tick and read by the daemon in every loop.
MAX_BYTES = 4096


class Cursor(BaseModel):
    """Acknowledgement: the emission that Dagster took last, and the health that it was told last.

    All positions live in the ledger, committed together with the items that they cover. So a cursor that is reset,
    edited or rolled back with the database makes the monitor emit open batches again under their old run keys, and
    report health again: nothing is lost and nothing runs twice.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: int = 1
    epoch: int = 0
    sick: tuple[int, ...] = ()
    """Ids of the sources whose failed check Dagster has been told."""
    fresh: bool = Field(default=False, exclude=True)
    """Whether there was none: the sensor is new, or a person has reset it."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a cursor; anything that is not one counts as the first tick."""
        try:
            return cls.model_validate_json(text) if text else cls(fresh=True)
        except ValidationError:
            return cls(fresh=True)

    def dump(self) -> str:
        """Write the cursor as compact JSON below 4 KB; sick sources beyond that are reported again and again."""
        text = self.model_dump_json()
        if len(text) <= MAX_BYTES:
            return text
        return self.model_copy(update={"sick": self.sick[:500]}).model_dump_json()
