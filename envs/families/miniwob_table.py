"""The tasks of MiniWoB++: names, the steps that each gives, and what is to be said of some."""

NAMES: tuple[str, ...] = tuple(
    """
    click-test ascending-numbers bisect-angle book-flight book-flight-nodelay buy-ticket choose-date
    choose-date-easy choose-date-medium choose-date-nodelay choose-list circle-center click-button
    click-button-sequence click-checkboxes click-checkboxes-large click-checkboxes-soft click-checkboxes-transfer
    click-collapsible click-collapsible-2 click-collapsible-2-nodelay click-collapsible-nodelay click-color
    click-dialog click-dialog-2 click-link click-menu click-menu-2 click-option click-pie click-pie-nodelay
    click-scroll-list click-shades click-shape click-tab click-tab-2 click-tab-2-easy click-tab-2-hard
    click-tab-2-medium click-test-2 click-test-transfer click-widget copy-paste copy-paste-2 count-shape count-sides
    daily-calendar drag-box drag-circle drag-cube drag-items drag-items-grid drag-shapes drag-shapes-2
    drag-single-shape drag-sort-numbers draw-circle draw-line email-inbox email-inbox-delete email-inbox-forward
    email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-important email-inbox-nl-turk
    email-inbox-noscroll email-inbox-reply email-inbox-star-reply enter-date enter-password enter-text enter-text-2
    enter-text-dynamic enter-time find-greatest find-midpoint find-word focus-text focus-text-2 form-sequence
    form-sequence-2 form-sequence-3 generate-number grid-coordinate guess-number highlight-text highlight-text-2
    hot-cold identify-shape login-user login-user-popup multi-layouts multi-orderings navigate-tree
    number-checkboxes odd-or-even order-food phone-book read-table read-table-2 resize-textarea right-angle
    scroll-text scroll-text-2 search-engine sign-agreement simple-algebra simple-arithmetic social-media
    social-media-all social-media-some stock-market terminal text-editor text-transform tic-tac-toe unicode-test
    use-autocomplete use-autocomplete-nodelay use-colorwheel use-colorwheel-2 use-slider use-slider-2 use-spinner
    visual-addition
    """.split()
)
"""Those that the package registers, but for the three flight bookings (`flight.*`): whole sites of airlines in a frame,
which need a web server and 375 x 667 pixels. The simplest is first: it is tried where the family is examined."""

HORIZON = 20
"""Steps: the ten seconds of the pages that say nothing else."""
HORIZONS: dict[str, int] = {
    **dict.fromkeys(
        """
        click-scroll-list click-shades drag-cube drag-shapes enter-password guess-number login-user-popup
        social-media text-editor text-transform visual-addition generate-number hot-cold odd-or-even phone-book
        """.split(),
        30,
    ),
    **dict.fromkeys(
        """
        choose-date choose-date-easy choose-date-medium choose-date-nodelay click-checkboxes-large click-tab-2-hard
        enter-date enter-time multi-layouts multi-orderings read-table-2 search-engine social-media-all
        social-media-some terminal use-slider-2 daily-calendar order-food
        """.split(),
        40,
    ),
    **dict.fromkeys(
        """
        book-flight book-flight-nodelay email-inbox email-inbox-delete email-inbox-forward email-inbox-forward-nl
        email-inbox-forward-nl-turk email-inbox-important email-inbox-nl-turk email-inbox-noscroll email-inbox-reply
        email-inbox-star-reply number-checkboxes drag-shapes-2
        """.split(),
        60,
    ),
}
"""Of those that give more seconds, two steps each."""

NOTES: dict[str, str] = {
    "drag-box": "lets go at the middle of the larger box, also where it took hold of the smaller one elsewhere",
}
"""Why an expert fails."""
