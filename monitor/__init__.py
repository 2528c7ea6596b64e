"""Medical News Monitor: fetches new medical articles, keeps what matches a topic, mails each researcher a digest."""

__version__ = "0.1.0"
