"""The settings of checks that compare how images look. Light zone."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.checks import DroppingSettings

if TYPE_CHECKING:
    from imgcls.checks._similarity import Similarity


class SimilaritySettings(DroppingSettings):
    """When two images count as the same picture."""

    distance: Annotated[int, Field(ge=0, le=8)] = 4
    """Bits of the 64 of the perceptual hash that may differ. Nearly always 32 bits are set, so that
    distances are even.
    """
    difference: Annotated[float, Field(ge=0)] = 0.025
    """Largest mean absolute difference of the 8x8 thumbnails after each was brought to mean 0 and
    deviation 1.
    """
    brightness: Annotated[float, Field(ge=0)] = 32.0
    """Largest mean absolute difference of the thumbnails as they are, in grey levels of 0..255."""

    @property
    def similarity(self) -> "Similarity":
        """The three as one value."""
        from imgcls.checks._similarity import Similarity

        return Similarity(self.distance, self.difference, self.brightness)
