"""The rows of the page, and the secret of the sessions, for all servers alike."""

SECRET = "a secret of the bench, 32 bytes or more"
TITLE = "Wind & waves"
ROWS = [{"id": number, "name": f"Station <{number}>", "value": number * 1.25} for number in range(30)]
