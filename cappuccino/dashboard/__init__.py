"""The page: traders, registry, studies and bars of a folder of runs in a browser, and the kill switch. It reads beside what runs."""
