import sys

from ordersigner.daemon.main import main

sys.exit(main())
