"""ordersignerd with one more line in the table of kinds."""

from __future__ import annotations

import sys

from ordersigner.policy.kinds import KINDS, Kind
from support.receipts import payload
from support.receipts.limits import ReceiptLimits

KINDS["receipt"] = Kind(payload.FORM, ReceiptLimits)

from ordersigner.daemon.main import main  # noqa: E402 - protocol.py and reader.py read the table once

sys.exit(main())
