// Runs on Flower's pages, after its own scripts. ``words`` are the states by Celery's names.
{
  const MAX_COMMANDS = 20;
  const ID = /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;

  const name = () =>
    $('#tasks-table span.badge, #task-page span.badge').text((_, state) => words[state] || state);

  // The buttons that filter the table.
  const nameButtons = () =>
    $('.task-state-filter').each((_, button) => {
      const word = words[button.dataset.taskState];
      if (word) $(button).text(word[0].toUpperCase() + word.slice(1));
    });

  // The table of tasks is drawn again and again, and the page of a task once.
  $(document).on('draw.dt', name);
  $(() => {
    name();
    nameButtons();
    const lines = $('#task-page .detail-code').map((_, line) => $(line).text()).get().join(' ');
    const jobs = [...new Set(lines.match(ID) || [])].slice(0, MAX_COMMANDS);
    if (jobs.length) {
      const commands = jobs.map(job => `<pre class="detail-code">longshore jobs show ${job}</pre>`).join('');
      const result = $('#task-page dt').filter((_, title) => $(title).text() === 'Result');
      result.closest('.detail-row').after(
        `<div class="detail-row detail-row-code task-data-row"><dt>Commands</dt><dd>${commands}</dd></div>`);
    }
  });
}
