import sys

from ordersigner.keytool.main import main

sys.exit(main())
