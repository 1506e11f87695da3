// What every screen does.
