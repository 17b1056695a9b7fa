"""Thefts of keys from trading bots, without the sending. test_thieves.py runs them on a booted machine.

Each runs as the bot's user, takes what it can get, and knows no key. What it gets is its loot: files in the user's
home, which the test searches. startup, hooks and memory run inside the bot: a .pth file in its site-packages imports
them. files, processes and listener run next to it. All need only the standard library of the machine's Python. The
modules bot and venue are the bot.
"""
