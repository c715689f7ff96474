"""A local page to try a trained model: drop an image, type a text, see what is read and what is answered."""

from bus_toolkit.app.desk import Desk
from bus_toolkit.app.gallery import Gallery
from bus_toolkit.app.question import Question, parse_question
from bus_toolkit.app.server import AppServer

__all__ = ["AppServer", "Desk", "Gallery", "Question", "parse_question"]
