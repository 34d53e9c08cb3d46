#include <cstdio>

#include "worker/report/html_page.h"
#include "worker/report/output_file.h"
#include "worker/report/run_record.h"
#include "worker/train/commands.h"
#include "worker/train/output_plan.h"

namespace ferrun::train {

Ending run_report(const ReportOptions& options, const CommandContext& context) {
  if (context.worker.rank != 0) return Ending::success();  // one page, however many ranks were started
  const Result<report::RunRecord> record = report::read_run(options.directory);
  if (!record) return Ending::failure(record.error());
  const std::string path = options.output.empty() ? join_path(options.directory, "report.html") : options.output;
  if (Status written = report::write_file(path, report::html_page(*record)); !written) {
    return Ending::failure(written.error());
  }
  for (const std::string& sentence : record->missing) std::printf("missing: %s\n", sentence.c_str());
  std::printf("wrote %s\n", path.c_str());
  return Ending::success();
}

}  // namespace ferrun::train
