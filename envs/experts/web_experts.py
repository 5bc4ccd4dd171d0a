"""Experts for MiniWoB's pages, by the name of the task.

They look at the environment, not at the observation. A plan goes on as if each of its actions had been played, so it is
not for recording with noise; after its end, or where the page is not as it takes it for, it does nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from generalist.envs.experts import web_clicks as clicks
from generalist.envs.experts import web_forms as forms
from generalist.envs.experts.web_plans import Page, Plan, wait
from generalist.envs.task import ActionFunction


def _expert(plan: Callable[[Page], Plan], env: gym.Env) -> ActionFunction:
    base: Any = env.unwrapped
    if not hasattr(base, "elements"):
        raise ValueError(f"experts for web pages need an environment made by envs.families.miniwob, got {env}")
    actions = itertools.chain(_whole(plan, Page(base)), itertools.repeat(wait()))
    return lambda observation: next(actions).copy()


def _whole(plan: Callable[[Page], Plan], page: Page) -> Plan:
    """The plan, up to where the page is not as it takes it for."""
    with contextlib.suppress(LookupError):
        yield from plan(page)


PLANS: dict[str, Callable[[Page], Plan]] = {
    "click-test": clicks.only_button,
    "click-test-2": clicks.named_button,
    "click-test-transfer": clicks.named_button,
    "click-button": clicks.named_button,
    "unicode-test": clicks.named_button,
    "click-button-sequence": clicks.both_buttons,
    "click-link": clicks.named_link,
    "click-dialog": clicks.dialog_button,
    "click-dialog-2": clicks.dialog_button,
    "click-color": clicks.named_color,
    "click-widget": clicks.named_widget,
    "focus-text": clicks.text_box,
    "focus-text-2": clicks.text_box,
    "click-tab": clicks.tab,
    "click-tab-2": clicks.link_behind_tabs,
    "click-tab-2-easy": clicks.link_behind_tabs,
    "click-tab-2-medium": clicks.link_behind_tabs,
    "click-tab-2-hard": clicks.link_behind_tabs,
    "click-collapsible": clicks.section_and_button,
    "click-collapsible-nodelay": clicks.section_and_button,
    "click-collapsible-2": clicks.link_behind_sections,
    "click-collapsible-2-nodelay": clicks.link_behind_sections,
    "click-checkboxes": clicks.boxes,
    "click-checkboxes-large": clicks.boxes,
    "click-checkboxes-transfer": clicks.boxes,
    "click-option": clicks.option,
    "grid-coordinate": clicks.grid_point,
    "click-menu": clicks.menu_item,
    "click-shape": clicks.shape,
    "count-shape": clicks.number_of_shapes,
    "identify-shape": clicks.kind_of_shape,
    "click-shades": clicks.shades,
    "ascending-numbers": clicks.in_order,
    "navigate-tree": clicks.file_of_tree,
    "social-media": clicks.post_button,
    "social-media-all": clicks.every_post_button,
    "buy-ticket": clicks.ticket,
    "circle-center": clicks.middle_of_circle,
    "drag-box": clicks.box_in_box,
    "highlight-text": clicks.marked_text,
    "email-inbox-delete": clicks.mail_button,
    "email-inbox-important": clicks.mail_button,
    "phone-book": clicks.contact,
    "odd-or-even": clicks.odd_or_even,
    "use-spinner": clicks.stepped_number,
    "choose-date": clicks.date_in_calendar,
    "choose-date-easy": clicks.date_in_calendar,
    "choose-date-medium": clicks.date_in_calendar,
    "choose-date-nodelay": clicks.date_in_calendar,
    "scroll-text-2": clicks.scrolled_end,
    "generate-number": clicks.generated_number,
    "enter-text": forms.text,
    "enter-text-dynamic": forms.text,
    "enter-text-2": forms.in_case,
    "enter-password": forms.password_twice,
    "login-user": forms.login,
    "login-user-popup": forms.login,
    "enter-date": forms.date,
    "enter-time": forms.time,
    "choose-list": forms.list_option,
    "read-table": forms.table_value,
    "read-table-2": forms.table_values,
    "simple-arithmetic": forms.result,
    "simple-algebra": forms.unknown,
    "visual-addition": forms.sum_of_blocks,
    "guess-number": forms.guessed_number,
    "multi-layouts": forms.film,
    "multi-orderings": forms.film,
    "search-engine": forms.search_result,
    "find-word": forms.word_of_paragraph,
    "text-transform": forms.letters_shown,
    "copy-paste": forms.copied,
    "copy-paste-2": forms.copied,
    "use-autocomplete": forms.completed,
    "use-autocomplete-nodelay": forms.completed,
}
EXPERTS: dict[str, Callable[[gym.Env], ActionFunction]] = {name: partial(_expert, plan) for name, plan in PLANS.items()}
"""By the name of the task."""
