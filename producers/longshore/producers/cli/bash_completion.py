"""The script that completes words in bash."""

from __future__ import annotations

from click.shell_completion import BashComplete

#: As click's own, with two differences. Bash takes ``:`` and ``@`` for the end of a word, so that ``digits:1`` would
#: reach the command as three words: the line is passed instead, split at spaces. And bash replaces only ``$2``, the end
#: of the word: what is before it is taken off from what is offered.
_SCRIPT = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" words current prefix response type value
    read -ra words <<< "$line"
    current="${line##*[[:space:]]}"
    [[ -n $current ]] || words+=("")
    prefix="${current%%"$2"}"

    local IFS=$'\\n'
    response=$(env COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete $1)

    for completion in $response; do
        IFS=',' read type value <<< "$completion"

        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("${value#"$prefix"}")
        fi
    done

    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


class WholeWordBashComplete(BashComplete):
    """Completes words with ``:`` and ``@`` in bash."""

    source_template = _SCRIPT
