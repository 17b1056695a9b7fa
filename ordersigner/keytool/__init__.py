try:
    import eth_account  # noqa: F401 - all of the tool needs it, and only the tool
except ModuleNotFoundError as error:
    if error.name != "eth_account":
        raise
    raise SystemExit("ordersigner-keys: the Python package eth-account is missing. Install it with pip.") from None
