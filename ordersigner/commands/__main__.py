import sys

from ordersigner.commands.main import main

sys.exit(main())
