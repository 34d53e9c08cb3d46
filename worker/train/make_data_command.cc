#include <algorithm>
#include <cstdio>

#include "worker/data/make_data.h"
#include "worker/train/commands.h"

namespace ferrun::train {

Ending run_make_data(const MakeDataOptions& options) {
  data::DrawnFacesOptions drawn;
  drawn.train_per_class = options.faces_per_class;
  drawn.val_per_class = std::max<int64_t>(1, options.faces_per_class / 5);
  drawn.size = options.image_size;
  drawn.seed = options.seed;
  const Result<data::MakeDataReport> report = data::write_image_folder(options.directory, drawn, options.overwrite);
  if (!report) {
    return Ending::failure(report.error());
  }
  std::printf("wrote %lld pictures to train on and %lld to validate below %s\n",
              static_cast<long long>(report->train_pictures), static_cast<long long>(report->val_pictures),
              options.directory.c_str());
  return Ending::success();
}

}  // namespace ferrun::train
