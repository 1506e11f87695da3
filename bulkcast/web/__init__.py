"""The page: the use cases in a browser, served to this computer alone.

`security` says who may talk to it, `server` starts and stops it, `app` joins the screens.
"""
