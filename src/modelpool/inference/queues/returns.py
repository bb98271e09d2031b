"""Whether it pays to wait, after a call, for those who were answered to come back."""

from __future__ import annotations

from typing import Any

from modelpool.core.runtime.batching import CostModel

_SHARES = (0.125, 0.25, 0.5, 1.0)
"""Moments that might be waited, as shares of what a call costs however many rows it has."""
_LONGEST_S, _SHORTEST_S = 0.002, 0.00005
_NEW_SHARE = 0.1  # of the last call in what was learnt from all
_CALLS = 4  # that bringing callers together counts for: they stay together
_MARGIN = 1.25  # by which what is gained must exceed what is lost


class Returns:
    """Learns from when callers come after they were answered.

    Callers that ask again as soon as they are answered fall into two halves that run in turns, each waiting for the
    other: twice the calls that are needed. A short wait after a call brings the halves together, and keeps them so.
    Callers that come on their own account do not come sooner for it, and those who wait already lose that time.

    So every call is looked back at, whether there was a wait or not: how many came within a moment after it, beyond as
    many as come in any such time? Each of these would be spared a call, once and for some calls to come, while all
    would lose the moment. It is waited while on average that gains more than it loses. Of requests that arrive
    independently of each other there are on average none beyond, however many they are.

    Times are in seconds, of any clock.
    """

    def __init__(self, cost: CostModel) -> None:
        self._cost = cost
        self._gains = [0.0] * len(_SHARES)
        self._is_open = False
        self._began = self._until = 0.0
        self._members = self._waiting = self._arrived = 0
        self._layout: Any = None
        self._came: list[float] = []
        self._rows = 0
        self._usually_arrive = self._usually_s = 0.0

    def answered(self, now: float, *, members: int, waiting: int, layout: Any) -> float:
        """So many were answered together, and so many wait, the oldest of which has that layout, or nobody.

        Returns for how long to wait at most; 0 where it does not pay.
        """
        self._look_back(now)
        longest_s = self._moment(_SHARES[-1])
        self._is_open = members + waiting > 1 and longest_s >= _SHORTEST_S
        self._began, self._until = now, now + longest_s
        self._members, self._waiting, self._layout = members, waiting, layout
        self._arrived, self._came, self._rows = 0, [], 0
        if not self._is_open:
            return 0.0
        gain, share = max(zip(self._gains, _SHARES, strict=True))
        return self._moment(share) if gain > 0 else 0.0

    def came(self, now: float, *, n_rows: int, layout: Any) -> None:
        """A call came; only one that could run with those who wait may have been worth waiting for."""
        self._arrived += 1
        if not self._is_open or self.are_all or now > self._until:
            return
        if self._layout is None:
            self._layout = layout
        if layout == self._layout:
            self._came.append(now - self._began)
            self._rows += n_rows

    @property
    def are_all(self) -> bool:
        """Whether as many came as were answered."""
        return len(self._came) >= self._members

    def _moment(self, share: float) -> float:
        return min(self._cost.call_s * share, _LONGEST_S)

    def _look_back(self, now: float) -> None:
        if not self._began:
            return
        self._usually_arrive += (self._arrived - self._usually_arrive) * _NEW_SHARE
        self._usually_s += (now - self._began - self._usually_s) * _NEW_SHARE
        if self._is_open and self._cost.call_s >= _SHORTEST_S and self._usually_s > 0:
            for number, share in enumerate(_SHARES):
                self._gains[number] += (self._gain(self._moment(share)) - self._gains[number]) * _NEW_SHARE

    def _gain(self, moment_s: float) -> float:
        """Return what that wait would have gained: seconds of all callers, in calls for each of them."""
        times = [time for time in self._came if time <= moment_s]
        came = len(times)
        ended = times[-1] if came >= self._members else moment_s
        beyond = came - ended * self._usually_arrive / self._usually_s
        waiting, began = self._waiting, 0.0
        if not waiting:
            if not came:
                return 0.0
            waiting, began, came, beyond = 1, times[0], came - 1, beyond - 1  # the first would have run at once
        rows = self._rows / len(self._came) if self._came else 0.0
        lost = (waiting + came) * (ended - began) + waiting * came * rows * self._cost.row_s
        gain = (_CALLS * beyond * self._cost.call_s - _MARGIN * lost) / ((waiting + came) * self._cost.call_s)
        return max(gain, -_CALLS)  # one that is far off is forgotten as soon as others
