// report.html: a run on one page, which needs nothing beside it. Pure.
#pragma once

#include <string>

#include "worker/report/run_record.h"

namespace ferrun::report {

// Without scripts, and with a policy that lets a browser load nothing: every picture is in the page. All that comes
// from files (names of classes, files and options) is escaped. The same record gives the same bytes.
std::string html_page(const RunRecord& record);

}  // namespace ferrun::report
