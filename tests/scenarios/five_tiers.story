# A camera in a village, watched in the county: the city and the province carry nothing until they look.
> node province
> node city under province
> node county under city
> node township under county
> node village under township
> node hamlet under township
> join camera at village 0
> join liu at county
  province knows camera, liu
  city knows camera, liu
  county knows camera, liu
    liu sees camera.camera; hears camera.voice
  township knows camera, liu
  village knows camera, liu
    camera sees ; hears liu.voice
  hamlet knows camera, liu
  county -> township: liu.voice
  township -> county: camera.camera, camera.voice
  township -> village: liu.voice
  village -> township: camera.camera, camera.voice

# The province looks too: one copy per link, whoever else watches.
> join zhou at province
> join chen at city
  province knows camera, chen, liu, zhou
    zhou sees camera.camera; hears camera.voice, chen.voice, liu.voice
  city knows camera, chen, liu, zhou
    chen sees camera.camera; hears camera.voice, liu.voice, zhou.voice
  county knows camera, chen, liu, zhou
    liu sees camera.camera; hears camera.voice, chen.voice, zhou.voice
  township knows camera, chen, liu, zhou
  village knows camera, chen, liu, zhou
    camera sees ; hears chen.voice, liu.voice, zhou.voice
  hamlet knows camera, chen, liu, zhou
  province -> city: zhou.voice
  city -> county: chen.voice, zhou.voice
  city -> province: camera.camera, camera.voice, chen.voice, liu.voice
  county -> city: camera.camera, camera.voice, liu.voice
  county -> township: chen.voice, liu.voice, zhou.voice
  township -> county: camera.camera, camera.voice
  township -> village: chen.voice, liu.voice, zhou.voice
  village -> township: camera.camera, camera.voice

# Nobody above the county looks any more.
> leave zhou
> leave chen
  province knows camera, liu
  city knows camera, liu
  county knows camera, liu
    liu sees camera.camera; hears camera.voice
  township knows camera, liu
  village knows camera, liu
    camera sees ; hears liu.voice
  hamlet knows camera, liu
  county -> township: liu.voice
  township -> county: camera.camera, camera.voice
  township -> village: liu.voice
  village -> township: camera.camera, camera.voice

# The township speaks; one slot follows the speaker, a pin does not.
> join wu at township
> speak wu
  province knows camera, liu, wu
  city knows camera, liu, wu
  county knows camera, liu, wu
    liu sees wu.camera; hears camera.voice, wu.voice
  township knows camera, liu, wu
    wu sees camera.camera; hears camera.voice, liu.voice
  village knows camera, liu, wu
    camera sees ; hears liu.voice, wu.voice
  hamlet knows camera, liu, wu
  county -> township: liu.voice
  township -> county: camera.voice, wu.camera, wu.voice
  township -> village: liu.voice, wu.voice
  village -> township: camera.camera, camera.voice

> pin liu sees camera
  province knows camera, liu, wu
  city knows camera, liu, wu
  county knows camera, liu, wu
    liu sees camera.camera; hears camera.voice, wu.voice
  township knows camera, liu, wu
    wu sees camera.camera; hears camera.voice, liu.voice
  village knows camera, liu, wu
    camera sees ; hears liu.voice, wu.voice
  hamlet knows camera, liu, wu
  county -> township: liu.voice
  township -> county: camera.camera, camera.voice, wu.voice
  township -> village: liu.voice, wu.voice
  village -> township: camera.camera, camera.voice
