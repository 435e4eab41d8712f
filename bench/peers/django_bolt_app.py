"""A validated body on django-bolt: `django_bolt_app.py PORT`. One process, its own server, models of msgspec."""

import sys

from checked_struct import Station
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django_bolt"],
    LOGGING_CONFIG=None,
    BOLT_API=["django_bolt_app:api"],
)

from django_bolt import BoltAPI  # noqa: E402 - it looks at the settings

api = BoltAPI(enable_logging=False, validate_response=False)


@api.post("/msgspec")
async def by_msgspec(station: Station):
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}


urlpatterns = []

if __name__ == "__main__":
    # The command imports this module by its name.
    sys.modules["django_bolt_app"] = sys.modules["__main__"]
    import django
    from django.core.management import call_command

    django.setup()
    call_command("runbolt", "--host", "127.0.0.1", "--port", sys.argv[1], "--processes", "1", "--workers", "1", "--no-admin")
